"""Block sizes, and what the compiler makes of the kernels on every architecture."""
