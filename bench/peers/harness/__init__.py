"""Runs peers one after another under the same load generator and condenses what was measured."""
