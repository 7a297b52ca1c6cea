"""The server over gRPC, beside HTTP."""
