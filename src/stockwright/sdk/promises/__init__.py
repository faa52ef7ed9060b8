"""What every connector promises, as tests: `contract.suite` takes what applies to one. Not public.

trial         how a connector is tried
declarations  what is declared is what there is
cases         what its cases say
polls         `read`
levels        `publish` and `read_back`
webhooks      `receive`
snapshots     `snapshot`
documents     `submit`
"""
