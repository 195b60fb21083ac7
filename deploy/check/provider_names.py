"""Are the names of arguments and blocks those that the providers know?

`terraform validate` needs the providers, which are not on any package index. Pulumi's packages are: their classes are generated from
the same providers' schemas, so they know every argument of a resource, which ones are required, and what is in a block.
"""

import importlib
import inspect
import re

# Resource -> class. `Args` is appended.
CLASSES = {
    "aws_cloudwatch_log_group": "pulumi_aws.cloudwatch.LogGroup",
    "aws_cloudwatch_log_metric_filter": "pulumi_aws.cloudwatch.LogMetricFilter",
    "aws_cloudwatch_metric_alarm": "pulumi_aws.cloudwatch.MetricAlarm",
    "aws_iam_role": "pulumi_aws.iam.Role",
    "aws_iam_role_policy": "pulumi_aws.iam.RolePolicy",
    "aws_kms_alias": "pulumi_aws.kms.Alias",
    "aws_kms_key": "pulumi_aws.kms.Key",
    "aws_lambda_function": "pulumi_aws.lambda_.Function",
    "aws_lambda_function_event_invoke_config": "pulumi_aws.lambda_.FunctionEventInvokeConfig",
    "aws_lambda_permission": "pulumi_aws.lambda_.Permission",
    "aws_s3_bucket": "pulumi_aws.s3.Bucket",
    "aws_s3_bucket_lifecycle_configuration": "pulumi_aws.s3.BucketLifecycleConfiguration",
    "aws_s3_bucket_object_lock_configuration": "pulumi_aws.s3.BucketObjectLockConfiguration",
    "aws_s3_bucket_ownership_controls": "pulumi_aws.s3.BucketOwnershipControls",
    "aws_s3_bucket_policy": "pulumi_aws.s3.BucketPolicy",
    "aws_s3_bucket_public_access_block": "pulumi_aws.s3.BucketPublicAccessBlock",
    "aws_s3_bucket_server_side_encryption_configuration": "pulumi_aws.s3.BucketServerSideEncryptionConfiguration",
    "aws_s3_bucket_versioning": "pulumi_aws.s3.BucketVersioning",
    "aws_scheduler_schedule": "pulumi_aws.scheduler.Schedule",
    "aws_secretsmanager_secret_rotation": "pulumi_aws.secretsmanager.SecretRotation",
    "aws_sqs_queue": "pulumi_aws.sqs.Queue",
    "aws_ssm_parameter": "pulumi_aws.ssm.Parameter",
    "oci_functions_application": "pulumi_oci.functions.Application",
    "oci_functions_function": "pulumi_oci.functions.Function",
    "oci_identity_dynamic_group": "pulumi_oci.identity.DynamicGroup",
    "oci_identity_policy": "pulumi_oci.identity.Policy",
    "oci_logging_log": "pulumi_oci.logging.Log",
    "oci_logging_log_group": "pulumi_oci.logging.LogGroup",
    "oci_monitoring_alarm": "pulumi_oci.monitoring.Alarm",
    "oci_objectstorage_bucket": "pulumi_oci.objectstorage.Bucket",
    "oci_objectstorage_object": "pulumi_oci.objectstorage.StorageObject",
    "oci_objectstorage_object_lifecycle_policy": "pulumi_oci.objectstorage.ObjectLifecyclePolicy",
    "oci_resource_scheduler_schedule": "pulumi_oci.resourcescheduler.Schedule",
}

# Where Pulumi's name is another one.
RENAMED = {
    ("aws_cloudwatch_metric_alarm", "alarm_name"): "name",
    ("aws_lambda_function", "function_name"): "name",
    ("aws_lambda_permission", "function_name"): "function",
}

# Terraform's own, in every resource.
META = {"count", "depends_on", "for_each", "lifecycle", "provider", "__start_line__", "__end_line__"}


def findings(resources):
    """Yields what is wrong with `(kind, name, body)` of each resource."""
    for kind, name, body in resources:
        dotted = CLASSES.get(kind)
        if dotted is None:
            yield f"{kind}.{name}: no class is known that says what its arguments are: add it to {__name__}.CLASSES"
            continue
        module, _, cls = dotted.rpartition(".")
        space = importlib.import_module(module)
        # Asked of the class's own module: blocks of other resources may have the same name.
        own = importlib.import_module(getattr(space, cls).__module__)
        args = getattr(own, cls + "InitArgs", None) or getattr(own, cls + "Args")
        yield from _body(f"{kind}.{name}", kind, body, args, importlib.import_module(f"{module}._inputs"))


def _body(where, kind, body, args, inputs):
    parameters = dict(list(inspect.signature(args.__init__).parameters.items())[1:])
    given = {key: value for key, value in body.items() if key not in META and key != "dynamic"}
    for dynamic in body.get("dynamic", []):
        for key, value in dynamic.items():
            given[key] = list(value["content"])
    seen = set()
    for key, value in given.items():
        found = next((p for p in _spellings(kind, key) if p in parameters), None)
        if found is None:
            yield f"{where}: the provider knows no argument {key!r}"
            continue
        seen.add(found)
        inner = re.search(r"'([A-Za-z]+)Args'", str(parameters[found].annotation))
        if inner and isinstance(value, list):
            cls = getattr(inputs, inner.group(1) + "Args")
            for block in value:
                if isinstance(block, dict):
                    yield from _body(f"{where}.{key}", kind, block, cls, inputs)
    for key, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in seen:
            yield f"{where}: {key!r} is required and not given"


def _spellings(kind, key):
    renamed = RENAMED.get((kind, key))
    if renamed:
        yield renamed
    # A block that may be repeated has a plural there.
    yield from (key, key + "s", key + "es", key.removesuffix("y") + "ies")
