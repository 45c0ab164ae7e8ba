"""What a finished run is worth on one of its splits: figures, one page to look at, and advice in words."""
