"""RoBERTa as a decoder: its cache, and an encoder before it."""
