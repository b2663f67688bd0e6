"""Launching Jobs on Kubernetes."""
