"""How close a system comes to the planted truth: splits, metrics and paired intervals."""
