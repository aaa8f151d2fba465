#!/usr/bin/env bash
# msgspec 0.22.0: a field of type `Raw | None` takes null alone.
#
# `Raw` holds a piece of JSON as it came, to be decoded later, and one would expect `Raw | None` to hold any JSON, or None
# where null was sent or nothing. A struct with such a field decodes null, and refuses every object, list, text or number.
# A field of type `Raw` alone takes all of them, null included.
#
# Seen:  Raw | None   null None; {} refused: Expected `null`, got `object` - at `$.x`
#        Raw          null b'null'; {} b'{}'
#
# Installs the package into a temporary folder, and fails if the behaviour is another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check 'msgspec==0.22.0'
"$folder/venv/bin/python" - <<'PY'
import msgspec


class Optional(msgspec.Struct):
    x: msgspec.Raw | None = None


class Plain(msgspec.Struct):
    x: msgspec.Raw = msgspec.Raw()


null = msgspec.json.decode(b'{"x":null}', type=Optional).x
try:
    msgspec.json.decode(b'{"x":{}}', type=Optional)
except msgspec.ValidationError as error:
    message = str(error)
else:
    raise SystemExit("an object was taken")
print(f"Raw | None   null {null!r}; {{}} refused: {message}")
assert null is None
assert message == "Expected `null`, got `object` - at `$.x`"
pieces = [bytes(msgspec.json.decode(data, type=Plain).x) for data in (b'{"x":null}', b'{"x":{}}')]
print(f"Raw          null {pieces[0]!r}; {{}} {pieces[1]!r}")
assert pieces == [b"null", b"{}"]
PY
