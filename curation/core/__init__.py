"""The contracts that everything else keeps: errors, frames, stages, classifiers, fingerprints."""
