"""What studies read: votes, prompts, responses, features, and the files of a run."""
