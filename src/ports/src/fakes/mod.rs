//! Fakes of every port, for tests and for the simulation.
