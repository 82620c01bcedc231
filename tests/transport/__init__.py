"""One suite for both transports: real servers, real grpcio clients, one writer loop."""
