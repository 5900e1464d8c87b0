#!/usr/bin/env bash
# Fetches what judges DASH manifests and is not ours to ship: ISO's schema (MPEG's repository), DASH-IF's schematron and
# Saxon, which runs it. dash-schemas.sh [FOLDER] prints the two variables that tests look at.
set -euo pipefail

peers=${STREAMVERSE_PEERS:-$HOME/.cache/streamverse/peers}
to=${1:-$peers/dash}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One commit of a repository, and of it no more than is asked for.
fetch() { # repository, commit, paths...
  local into=$work/$(basename "$1")
  git -c maintenance.auto=false clone -q --filter=blob:none --no-checkout "https://github.com/$1" "$into"
  git -c maintenance.auto=false -C "$into" checkout -q "$2" -- "${@:3}"
}

fetch MPEGGroup/DASHSchema fb663fdbe71a883b14e4e025e6ad81b43b05590c DASH-MPD.xsd DASH-MPD-UP.xsd DASH-MPD-PATCH.xsd
fetch Dash-Industry-Forum/DASH-IF-Conformance 2d5b88d402345f1096992a063a515ca5bbca8c08 schematron/schematron schematron/schemas/xlink.xsd

mkdir -p "$to"
cp "$work"/DASHSchema/*.xsd "$work"/DASH-IF-Conformance/schematron/schemas/xlink.xsd "$to"
# xmllint asks no network for it.
sed -i 's|http://www.w3.org/XML/2008/06/xlink.xsd|xlink.xsd|' "$to/DASH-MPD.xsd"
rm -rf "$to/schematron"
cp -r "$work/DASH-IF-Conformance/schematron/schematron" "$to/schematron"

[ -x "$peers/bin/pip" ] || python3 -m venv "$peers"
"$peers/bin/python" -c 'import saxonche' 2>/dev/null || "$peers/bin/pip" -q install saxonche==13.1.1

echo "export STREAMVERSE_DASH_XSD=$to/DASH-MPD.xsd"
echo "export STREAMVERSE_DASH_SCHEMATRON=$to/schematron/schematron.sch"
