"""Values in, one self-contained HTML file out; knows no service and no store."""
