//! What specifications become.
