"""From words to numbers: `lexicon.understand` reads a conversation, with the words of `words` and rules of `intent`."""
