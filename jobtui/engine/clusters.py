"""What has to be known of a cluster, for the rooms above, which know no storage.

Apart from the package, so that who works on embedded storage alone need not import it.
"""

from jobtui.storage.nebula.settings import (
    PASSWORD_VARIABLE,
    Address,
    ClusterSettings,
    FromEnvironment,
    FromKeyring,
    Given,
    PasswordSource,
    RunMode,
    Secret,
    Tls,
)

__all__ = [
    "PASSWORD_VARIABLE",
    "Address",
    "ClusterSettings",
    "FromEnvironment",
    "FromKeyring",
    "Given",
    "PasswordSource",
    "RunMode",
    "Secret",
    "Tls",
]
