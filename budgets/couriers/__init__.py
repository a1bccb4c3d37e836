"""What carries one message out of the site: each in a process of its own, with a deadline, and without its secrets.

A courier knows nothing of the database. It gets its order on standard input, where no list of processes shows it, and
says on standard output, in one line of JSON, what became of the message.
"""
