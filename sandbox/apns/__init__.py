"""Apple's push service as a provider sees it: HTTP/2 over TLS, token authentication, its errors."""
