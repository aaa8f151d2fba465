"""The async face: `AsyncClient`, the package's functions, which are a default client's methods, and what they send through."""
