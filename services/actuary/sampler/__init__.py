"""The sampler service: decides which items people see, and says how good the labels are."""
