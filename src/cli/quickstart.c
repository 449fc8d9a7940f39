/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/quickstart.h"

static void print_shell(const struct noc_quickstart *quickstart, FILE *stream)
{
    fprintf(stream,
        "Subscribe, in one terminal:\n"
        "\n"
        "  %s sub -h 127.0.0.1 -p %u -u '%s' -P '%s' -t 'demo/#' -v\n"
        "\n"
        "Publish, in another:\n"
        "\n"
        "  %s pub -h 127.0.0.1 -p %u -u '%s' -P '%s' -t demo/hello -m 'hello'\n"
        "\n",
        quickstart->program, (unsigned)quickstart->mqtt_port, quickstart->user,
        quickstart->password, quickstart->program, (unsigned)quickstart->mqtt_port,
        quickstart->user, quickstart->password);
}

static void print_browser(const struct noc_quickstart *quickstart, FILE *stream)
{
    fprintf(stream,
        "In a browser, with MQTT.js:\n"
        "\n"
        "  <script src=\"https://unpkg.com/mqtt@5/dist/mqtt.min.js\"></script>\n"
        "  <script>\n"
        "    const client = mqtt.connect(\"ws://127.0.0.1:%u\", {\n"
        "      username: \"%s\", password: \"%s\"\n"
        "    });\n"
        "    client.on(\"connect\", () => client.subscribe(\"demo/#\"));\n"
        "    client.on(\"message\", (topic, payload) => console.log(topic, payload.toString()));\n"
        "  </script>\n"
        "\n",
        (unsigned)quickstart->ws_port, quickstart->user, quickstart->password);
}

static void print_esp32(const struct noc_quickstart *quickstart, FILE *stream)
{
    fputs("On an ESP32, with esp-mqtt (ESP-IDF 5):\n"
          "\n"
          "  const esp_mqtt_client_config_t config = {\n",
        stream);
    if (quickstart->mqtt_port != 0) {
        fprintf(stream, "      .broker.address.uri = \"mqtt://BROKER-ADDRESS:%u\",\n",
            (unsigned)quickstart->mqtt_port);
    } else {
        fprintf(stream, "      .broker.address.uri = \"ws://BROKER-ADDRESS:%u/\",\n",
            (unsigned)quickstart->ws_port);
    }
    fprintf(stream,
        "      .credentials.username = \"%s\",\n"
        "      .credentials.authentication.password = \"%s\",\n"
        "  };\n"
        "  esp_mqtt_client_handle_t client = esp_mqtt_client_init(&config);\n"
        "  esp_mqtt_client_start(client);\n"
        "\n"
        "BROKER-ADDRESS is this machine's address in your network. The broker listens on\n"
        "loopback only; to let devices in, take `localhost` off a `listener` line of\n"
        "%s, and think of TLS: without it the password crosses the\n"
        "network as plain text.\n",
        quickstart->user, quickstart->password, quickstart->config);
}

void noc_quickstart_print(const struct noc_quickstart *quickstart, FILE *stream)
{
    if (quickstart->mqtt_port != 0) {
        print_shell(quickstart, stream);
    }
    if (quickstart->ws_port != 0) {
        print_browser(quickstart, stream);
    }
    if (quickstart->mqtt_port != 0 || quickstart->ws_port != 0) {
        print_esp32(quickstart, stream);
    }
}
