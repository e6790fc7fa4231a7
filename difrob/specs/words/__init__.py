"""How fields, rules and near names of specifications are put into words."""
