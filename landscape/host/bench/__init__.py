"""`landscape bench`: what this machine does with our kernels, each beside the machine's own limit."""
