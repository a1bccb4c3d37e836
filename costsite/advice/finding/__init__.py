"""From a month of sums to advice: what is worth saying, for how many cents, shown by which runs."""
