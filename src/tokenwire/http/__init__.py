"""HTTP for the rest of the library: httpx's vocabulary, our deadlines, our exceptions."""
