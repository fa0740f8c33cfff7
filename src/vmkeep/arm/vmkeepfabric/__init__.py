"""Provider Vmkeep.Fabric: what this host has and Azure has not."""
