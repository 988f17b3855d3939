# An agent on every client of Nomad, in the host's network: nomad job run serf.nomad.hcl
job "serf" {
  datacenters = ["*"]
  type        = "system"

  group "agent" {
    network {
      mode = "host"
      port "gossip" {
        static = 7946
      }
    }

    task "serf" {
      driver = "docker"

      config {
        image        = "serf:latest"
        network_mode = "host"
        args = [
          "-node=${attr.unique.hostname}",
          "-bind=${NOMAD_IP_gossip}",
          "-retry-join=seed-1.example.org",
          "-retry-join=seed-2.example.org",
        ]
      }

      # An interrupt makes the agent leave.
      kill_signal  = "SIGINT"
      kill_timeout = "20s"

      resources {
        cpu    = 50
        memory = 64
      }
    }
  }
}
