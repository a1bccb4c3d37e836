"""The composition root: settings, urls, the API, the pages. Knows everyone, is known by no one."""
