"""Actuary's Grafana dashboards: `boards` says what they show, `grafana` how it is written down."""
