# s3proxy as a Nomad job: secrets from Vault, registered in Consul.
#
# Once:
#   vault kv put secret/s3-proxy \
#     access_key_id=... secret_access_key=... \
#     db_host=... db_user=s3proxy db_password=... \
#     oci_endpoint=https://... oci_region=... oci_bucket=... \
#     oci_access_key_id=... oci_secret_access_key=...
#   a policy that Nomad's tasks may use, with: path "secret/data/s3-proxy" { capabilities = ["read"] }
#   the image, pushed: make push IMAGE=registry.munchbox.cc/s3-proxy:latest
# Then:
#   nomad job run s3-proxy.nomad.hcl
#   nomad job run -var image=registry.example.com/s3-proxy:1.2 s3-proxy.nomad.hcl
#
# A secret that changes in Vault is written into the configuration, and s3proxy reads it
# again (SIGHUP): keys, rights, buckets, caps and certificates act at once; of what waits
# for a restart, its log tells. Any number of allocations share one database.
# Prometheus finds them by the Consul service "s3-proxy-metrics".

variable "image" {
  type        = string
  default     = "registry.munchbox.cc/s3-proxy:latest"
  description = "What `make push` has pushed."
}

variable "datacenters" {
  type    = list(string)
  default = ["*"]
}

job "s3-proxy" {
  datacenters = var.datacenters
  type        = "service"

  # One after the other; the next when this one has been healthy for a while.
  update {
    max_parallel      = 1
    health_check      = "checks"
    min_healthy_time  = "15s"
    healthy_deadline  = "3m"
    progress_deadline = "10m"
    auto_revert       = true
  }

  group "s3-proxy" {
    count = 2

    # Two on one machine would both go with it.
    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    network {
      port "s3" {
        static = 9000
        to     = 9000
      }
      port "metrics" {
        to = 9100
      }
    }

    service {
      name     = "s3-proxy"
      port     = "s3"
      provider = "consul"

      check {
        name     = "health"
        type     = "http"
        path     = "/health"
        interval = "10s"
        timeout  = "5s"
      }
    }

    service {
      name     = "s3-proxy-metrics"
      port     = "metrics"
      provider = "consul"

      check {
        name     = "health"
        type     = "http"
        path     = "/health"
        interval = "30s"
        timeout  = "5s"
      }
    }

    restart {
      attempts = 10
      interval = "10m"
      delay    = "10s"
      mode     = "delay"
    }

    task "s3-proxy" {
      driver = "docker"

      # Requests under way get 30 seconds to end.
      kill_signal  = "SIGTERM"
      kill_timeout = "60s"

      vault {}

      config {
        image        = var.image
        args         = ["--config", "/secrets/config.yaml"]
        ports        = ["s3", "metrics"]
        cap_drop     = ["all"]
        security_opt = ["no-new-privileges"]
        ulimit {
          nofile = "16384:16384"
        }
      }

      # toJSON puts each value in quotes, whatever is in it, but for a "$" before a "{",
      # which s3proxy would take for a variable of its own.
      template {
        destination   = "secrets/config.yaml"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        perms         = "0444"
        data          = <<EOF
{{ with secret "secret/data/s3-proxy" }}
server:
  listen_addr: "0.0.0.0:9000"
  virtual_bucket: "unified"
auth:
  access_key_id: {{ .Data.data.access_key_id | toJSON }}
  secret_access_key: {{ .Data.data.secret_access_key | toJSON }}
database:
  host: {{ .Data.data.db_host | toJSON }}
  database: "s3proxy"
  user: {{ .Data.data.db_user | toJSON }}
  password: {{ .Data.data.db_password | toJSON }}
  ssl_mode: "require"
backends:
  - name: "oci"
    endpoint: {{ .Data.data.oci_endpoint | toJSON }}
    region: {{ .Data.data.oci_region | toJSON }}
    bucket: {{ .Data.data.oci_bucket | toJSON }}
    access_key_id: {{ .Data.data.oci_access_key_id | toJSON }}
    secret_access_key: {{ .Data.data.oci_secret_access_key | toJSON }}
    force_path_style: true
    quota_bytes: 21474836480 # 20 GiB
telemetry:
  metrics:
    enabled: true
    listen_addr: "0.0.0.0:9100"
  tracing:
    enabled: true
    endpoint: "tempo.service.consul:4317"
    insecure: true
{{ end }}
EOF
      }

      resources {
        cpu        = 500
        memory     = 256
        memory_max = 1024
      }
    }
  }
}
