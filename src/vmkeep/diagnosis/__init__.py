"""From dated evidence to one proven cause, or to what is missing for it. Pure: probes hand the evidence in."""
