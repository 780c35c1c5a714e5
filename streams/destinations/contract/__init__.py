"""What all destinations share: options and secrets, expressions, consent, limits."""
