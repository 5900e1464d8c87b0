#!/usr/bin/env python3
"""Judges DASH manifests by a schematron: schematron.py SCHEMA.sch [--profile URI] MANIFEST...

SCHEMA.sch is that of DASH-IF's conformance software, with the ISO skeleton in the folder `schematron` beside it
(scripts/dash-schemas.sh fetches both). Saxon runs them: pip install saxonche. With --profile the manifests are judged
as if they claimed that profile too. Prints what does not hold and ends with 1 then; with 2 when it can't judge.
"""
import argparse
import pathlib
import sys

SVRL = "{http://purl.oclc.org/dsdl/svrl}"


def compiled(saxon, schema):
    """The schema as a stylesheet, by ISO's three steps."""
    steps = ("iso_dsdl_include", "iso_abstract_expand", "iso_svrl_for_xslt2")
    result = None
    for step in steps:
        file = str(schema.parent / "schematron" / f"{step}.xsl")
        sheet = saxon.new_xslt30_processor().compile_stylesheet(stylesheet_file=file)
        given = {"xdm_node": saxon.parse_xml(xml_text=result)} if result else {"source_file": str(schema)}
        result = sheet.transform_to_string(**given)
    return saxon.new_xslt30_processor().compile_stylesheet(stylesheet_text=result)


def broken(saxon, sheet, text):
    """What does not hold in a manifest: where, and the rule's words. Warnings are left out."""
    import xml.etree.ElementTree as tree

    said = sheet.transform_to_string(xdm_node=saxon.parse_xml(xml_text=text))
    for failed in tree.fromstring(said.encode()).iter(f"{SVRL}failed-assert"):
        if failed.get("role") == "warn":
            continue
        where = failed.get("location", "").replace("*:", "").replace("[namespace-uri()='urn:mpeg:dash:schema:mpd:2011']", "")
        yield where, " ".join("".join(failed.itertext()).split())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("schema", type=lambda path: pathlib.Path(path).resolve())
    arguments.add_argument("--profile")
    arguments.add_argument("manifests", nargs="+", metavar="MANIFEST")
    given = arguments.parse_args()
    from saxonche import PySaxonProcessor

    good = True
    with PySaxonProcessor(license=False) as saxon:
        sheet = compiled(saxon, given.schema)
        for manifest in given.manifests:
            text = pathlib.Path(manifest).read_text()
            if given.profile:
                text = text.replace(' profiles="', f' profiles="{given.profile},', 1)
            for where, words in broken(saxon, sheet, text):
                good = False
                print(f"{manifest}: {where}: {words}")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Exception as error:  # Saxon's have no common class.
        print(f"schematron.py: {error}", file=sys.stderr)
        sys.exit(2)
