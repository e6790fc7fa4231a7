"""The window of difrob: a client of the supervisor and a reader of run files. It never imports torch."""
