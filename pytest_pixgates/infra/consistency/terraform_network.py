"""The network of a Terraform root: whether what is created stands in it, and whether the brokers let the cluster in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from pytest_pixgates.core.scan import Finding
from pytest_pixgates.infra.consistency.configuration import Block, Module, Origin, Root, Value
from pytest_pixgates.infra.consistency.rule import AnyRule, Files
from pytest_pixgates.infra.consistency.sets import Sources
from pytest_pixgates.infra.hcl import Body

NETWORKS = ("aws_vpc", "google_compute_network", "azurerm_virtual_network")
CLUSTERS = ("aws_eks_cluster", "google_container_cluster", "azurerm_kubernetes_cluster")
BROKERS = ("aws_msk_cluster", "aws_msk_serverless_cluster", "aws_mq_broker")
_GROUP = "aws_security_group"
_IN_NETWORK = re.compile(r"vpc_id|network|network_id|(\w+_)?subnet(work)?s?(_ids?)?")

_NETWORK = """\
resource "aws_vpc" "this" {
  cidr_block = "10.0.0.0/16"
}

output "vpc_id" {
  value = aws_vpc.this.id
}
"""
_CLUSTER = """\
variable "vpc_id" {
  type = string
}

resource "aws_eks_cluster" "this" {
  name = "fraud"
}

resource "aws_security_group" "nodes" {
  vpc_id = var.vpc_id
}

output "security_group_id" {
  value = aws_security_group.nodes.id
}
"""
_BROKERS = """\
variable "clients" {
  type = string
}

resource "aws_msk_cluster" "this" {
  broker_node_group_info {
    security_groups = [aws_security_group.brokers.id]
  }
}

resource "aws_security_group" "brokers" {
  name = "brokers"
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.brokers.id
  referenced_security_group_id = var.clients
}
"""
_MAIN = """\
module "network" {
  source = "../network"
}

module "cluster" {
  source = "../cluster"
  vpc_id = module.network.vpc_id
}

module "brokers" {
  source  = "../brokers"
  clients = module.cluster.security_group_id
}
"""
_PASSING = {
    "root/main.tf": _MAIN,
    "network/main.tf": _NETWORK,
    "cluster/main.tf": _CLUSTER,
    "brokers/main.tf": _BROKERS,
}


@dataclass(frozen=True, eq=False)
class Standing:
    """An argument of a resource that says which network it stands in; `networks` are those that the root creates."""

    root: Root
    module: Module
    block: Block
    value: Value
    networks: tuple[Block, ...]


class InNetwork(AnyRule[Sources, Standing]):
    name = "tf-network"
    summary = "What a root creates stands in the network that it creates."
    why = "A cluster in the default VPC, or in that of another environment, is applied without a warning."
    fix = "hand on the output of the module that creates the network"
    passing = _PASSING
    failing: ClassVar[Files] = {**_PASSING, "root/main.tf": _MAIN.replace("module.network.vpc_id", '"vpc-0a1b2c3d"')}

    def subjects(self, world: Sources) -> Iterable[Standing]:
        for root in world.roots.values():
            networks = tuple(block for module in root.modules for block in module.resources(*NETWORKS))
            for module in root.modules if networks else ():
                for block in module.of("resource"):
                    yield from (Standing(root, module, block, each, networks) for each in _networks_of(block))

    def judge(self, subject: Standing) -> Iterator[Finding]:
        origins = list(subject.root.origins(subject.value, subject.module))
        elsewhere = [each for each in origins if each.kind != "resource"]
        literal = any(each.kind == "literal" for each in elsewhere)
        if len(origins) > len(elsewhere) and not literal:
            return  # a resource of this root, be it through a group's or an endpoint's own network
        where = elsewhere[0].place if elsewhere else subject.value.where
        whence = f"{elsewhere[0].kind} {elsewhere[0].type}" if elsewhere else "of an origin that can't be followed"
        user = f"{subject.value.name} of {subject.block.address} at {subject.value.where}"
        made = ", ".join(f"{each.address} at {each.where}" for each in subject.networks)
        message = f"{user} is {whence}, not the network that is created: {made}"
        yield self.at(where.path, where.line, message, subject.block.address)


@dataclass(frozen=True, eq=False)
class Brokers:
    """The brokers of a root, and its clusters with the modules that they stand in."""

    root: Root
    module: Module
    block: Block
    clusters: tuple[tuple[Module, Block], ...]


class BrokersAdmit(AnyRule[Sources, Brokers]):
    name = "tf-brokers-admit"
    summary = "The security group of brokers lets in a security group of the cluster's module."
    why = "Everything is applied and healthy, and every client times out."
    fix = "refer to the cluster's security group in an ingress rule of the brokers' group"
    passing = _PASSING
    failing: ClassVar[Files] = {
        **_PASSING,
        "root/main.tf": _MAIN.replace("module.cluster.security_group_id", '"sg-0a1b2c3d"'),
    }

    def subjects(self, world: Sources) -> Iterable[Brokers]:
        for root in world.roots.values():
            clusters = tuple((module, block) for module in root.modules for block in module.resources(*CLUSTERS))
            for module in root.modules if clusters else ():
                yield from (Brokers(root, module, block, clusters) for block in module.resources(*BROKERS))

    def judge(self, subject: Brokers) -> Iterator[Finding]:
        let_in = list(_let_in(subject))
        sources = [origin for value, module in let_in for origin in subject.root.origins(value, module)]
        if any(_of_cluster(origin, subject) for origin in sources):
            return
        where = let_in[0][0].where if let_in else subject.block.where
        found = ", ".join(f"{each.type or each.kind} at {each.place}" for each in sources) or "nothing"
        clusters = ", ".join(f"{block.address} at {block.where}" for _, block in subject.clusters)
        message = f"{subject.block.address} lets in {found}, but no security group beside {clusters}"
        yield self.at(where.path, where.line, message, subject.block.address)


def _networks_of(block: Block) -> Iterator[Value]:
    """The arguments of a resource that say which network it stands in."""
    for name, expression in block.body.all_expressions():
        if _IN_NETWORK.fullmatch(name) and expression.text != "null":
            yield Value(name, expression, block.path, block.body)


def _of_cluster(origin: Origin, brokers: Brokers) -> bool:
    beside = any(origin.module is module for module, _ in brokers.clusters)
    return origin.kind == "resource" and beside and origin.type in (_GROUP, *CLUSTERS)


def _let_in(brokers: Brokers) -> Iterator[tuple[Value, Module]]:
    """What the rules of the brokers' groups let in, with the module that each stands in."""
    groups = set[object]()
    for name, expression in brokers.block.body.all_expressions():
        if name.endswith(("security_groups", "security_group_ids")):
            value = Value(name, expression, brokers.block.path)
            groups |= {str(each.place) for each in brokers.root.origins(value, brokers.module) if each.type == _GROUP}
    for module in brokers.root.modules:
        for block in module.resources("aws_vpc_security_group_ingress_rule", "aws_security_group_rule"):
            of, direction = block.body.expressions.get("security_group_id"), block.body.expressions.get("type")
            if of is None or (direction is not None and direction.text != '"ingress"'):
                continue
            owners = brokers.root.origins(Value("security_group_id", of, block.path), module)
            if any(str(each.place) in groups for each in owners):
                yield from ((value, module) for value in _sources(block, block.body))
        for block in module.resources(_GROUP):
            if str(block.where) in groups:
                rules = (body for body in block.body.bodies if body.kind == "ingress")
                yield from ((value, module) for body in rules for value in _sources(block, body))


def _sources(block: Block, body: Body) -> Iterator[Value]:
    for name in ("referenced_security_group_id", "source_security_group_id", "security_groups"):
        if name in body.expressions:
            yield Value(name, body.expressions[name], block.path, block.body)
