//! Summaries and what is made of them.
