"""How does it learn? The one loop, evaluation, checkpoints and the journal, in plain torch."""
