//! What each kind does beyond its schema: defaulting, validation, strategy, printing.
