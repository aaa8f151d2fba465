#!/usr/bin/env bash
# msgspec 0.22.0: the JSON schema of a TypedDict has its fields in alphabetical order, that of a struct in the declared one.
#
# Models that are held to a schema write an answer's fields in the schema's order, so that it decides whether the reasons
# come before the verdict. One would expect the declared order for both.
#
# Seen:  TypedDict ['answer', 'reasons']
#        Struct    ['reasons', 'answer']
#
# Installs the package into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'msgspec==0.22.0'
"$folder/venv/bin/python" - <<'PY'
from typing import TypedDict

import msgspec


class Dict(TypedDict):
    reasons: str
    answer: str


class Record(msgspec.Struct):
    reasons: str
    answer: str


orders = [list(msgspec.json.schema_components([cls])[1][cls.__name__]["properties"]) for cls in (Dict, Record)]
print("TypedDict", orders[0])
print("Struct   ", orders[1])
assert orders == [["answer", "reasons"], ["reasons", "answer"]]
PY
