"""The review desk: what people decide about results, and who may."""
