#!/bin/bash
# Runs pytest on the given files; in Bazel's sandbox it leaves its cases where Bazel looks for them.
exec env PYTHONPATH="$PWD" PYTHONDONTWRITEBYTECODE=1 LC_ALL=C.UTF-8 /usr/bin/python3 -m pytest -q -rfEs -p no:cacheprovider \
    -p tests.support.fixtures ${XML_OUTPUT_FILE:+--junitxml="$XML_OUTPUT_FILE"} "$@"
