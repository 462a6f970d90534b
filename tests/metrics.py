"""Reads metrics in the text format of Prometheus from standard input, by the parser of its Python
client and by the rules that the parser does not check, and prints them as JSON: the value of each
sample by its name and labels."""
import json
import sys

from prometheus_client.parser import text_string_to_metric_families

text = sys.stdin.read()
samples, families = {}, set()
for family in text_string_to_metric_families(text):
    assert family.name not in families, f"{family.name} comes twice"
    families.add(family.name)
    assert family.documentation, f"{family.name} has no HELP"
    assert family.type in {"counter", "gauge", "histogram"}, f"{family.name} is {family.type}"
    buckets = {}
    for sample in family.samples:
        if family.type == "counter":
            assert sample.name == family.name + "_total", sample.name
        elif family.type == "gauge":
            assert sample.name == family.name, sample.name
        else:
            assert sample.name.startswith(family.name + "_"), sample.name
        labels = dict(sample.labels)
        key = sample.name + json.dumps(labels, sort_keys=True)
        assert key not in samples, f"{key} comes twice"
        assert family.type == "gauge" or sample.value >= 0, key
        samples[key] = sample.value
        if sample.name.endswith("_bucket"):
            le = labels.pop("le")
            buckets.setdefault(json.dumps(labels), []).append((float(le), sample.value))
        if sample.name.endswith("_count"):
            counts = buckets[json.dumps(labels)]
            assert counts == sorted(counts) and counts[-1] == (float("inf"), sample.value), counts
            assert all(a[1] <= b[1] for a, b in zip(counts, counts[1:])), counts
assert text.endswith("\n")
print(json.dumps(samples))
