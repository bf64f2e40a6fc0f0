"""One scheduler among several processes of a server: which process runs it, and who asks it."""
