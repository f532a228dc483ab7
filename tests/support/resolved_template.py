"""Writes template.yaml as it is deployed with a new network: loops, conditions and parameters resolved, as JSON.

`python -m tests.support.resolved_template FILE`. Checkers that know neither loops nor SAM's Globals read this instead.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.support.template import Template, new_network

_FUNCTION = "AWS::Serverless::Function"


def resolved(template: Template) -> dict[str, Any]:
    """Returns the template with every resource that is created. Functions have the properties that all share."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": {name: _resource(name, template) for name in template.resources},
    }


def _resource(name: str, template: Template) -> dict[str, Any]:
    kept = {key: value for key, value in template.resources[name].items() if key not in ("Condition", "IgnoreGlobals")}
    if kept["Type"] == _FUNCTION:
        kept["Properties"] = template.complete_function(name)
    return kept


def main() -> None:
    """Writes the file that the first argument names."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(resolved(new_network()), indent=1))


if __name__ == "__main__":
    main()
