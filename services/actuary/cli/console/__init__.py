"""What a person sees in a terminal: progress, tables, the review loop. The only place that writes to one."""
