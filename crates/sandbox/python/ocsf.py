"""The judge of exported events: the published schema of OCSF (package ocsf-json-schema), applied by a validator that has no part in it.

One event per line on standard input; one JSON document on standard output: how many events of each class there were, and every complaint.
An attribute that the schema does not know is one, and so is a value that is none of an enumeration.
"""

import json
import sys

import jsonschema_rs
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

schemas = {}
validators = {}


def validator(version, class_uid):
    if version not in schemas:
        schemas[version] = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    if (version, class_uid) not in validators:
        name = schemas[version].lookup_class_name_from_uid(class_uid=class_uid)
        validators[version, class_uid] = jsonschema_rs.validator_for(schemas[version].get_class_schema(class_name=name, profiles=[]))
    return validators[version, class_uid]


classes, complaints = {}, []
for number, line in enumerate(sys.stdin, 1):
    try:
        event = json.loads(line)
        version, class_uid = event["metadata"]["version"], event["class_uid"]
        errors = [f"{'/'.join(map(str, e.instance_path))}: {e.message}" for e in validator(version, class_uid).iter_errors(event)]
        if event["type_uid"] != class_uid * 100 + event["activity_id"]:
            errors.append("type_uid: is not made of class and activity")
        classes[class_uid] = classes.get(class_uid, 0) + 1
    except (KeyError, TypeError, ValueError) as error:
        errors = [f"no event: {error!r}"]
    complaints += [f"line {number}: {error}" for error in errors]
print(json.dumps({"classes": classes, "complaints": complaints}))
