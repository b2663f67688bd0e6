"""How Actuary speaks gRPC: servers, channels, rules of fields, errors as statuses, Jobs as resources."""
