"""The async API: `AsyncClient`, the package's functions, which are methods of a default client, and their connection pools."""
