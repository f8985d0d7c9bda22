import java.io.IOException;
import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Java as it was written for Java 8: lists entities, creates a tag, reads it back. */
public class Client {
    static final String BASE = setting("MONITE_BASE_URL", "https://api.sandbox.monite.com/v1"); // http://localhost:8080/v1

    public static void main(String[] args) throws IOException {
        String name = args[0];
        call("GET", "/entities?limit=1", null);
        String id = field(call("POST", "/tags", "{\"name\":\"" + name + "\"}"), "id");
        if (!field(call("GET", "/tags/" + id, null), "name").equals(name)) {
            throw new IOException("read back something else");
        }
        System.out.println("created and read " + name);
    }

    static String call(String method, String path, String body) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) new URL(BASE + path).openConnection();
        connection.setRequestMethod(method);
        connection.setReadTimeout(70_000);
        connection.setRequestProperty("X-Monite-Entity-Id", setting("MONITE_ENTITY", ""));
        // Code that insists on credentials may keep them: the sidecar removes the field.
        connection.setRequestProperty("Authorization", "Bearer " + setting("MONITE_TOKEN", "none"));
        if (body != null) {
            byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
            connection.setRequestProperty("Content-Type", "application/json");
            connection.setDoOutput(true);
            // Without it HttpURLConnection sends a POST a second time when its connection breaks.
            connection.setFixedLengthStreamingMode(bytes.length);
            connection.getOutputStream().write(bytes);
        }
        if (connection.getResponseCode() / 100 != 2) {
            throw new IOException(method + " " + path + ": " + connection.getResponseCode());
        }
        try (InputStream in = connection.getInputStream()) {
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    static String field(String json, String name) throws IOException {
        Matcher m = Pattern.compile("\"" + name + "\"\\s*:\\s*\"([^\"]*)\"").matcher(json);
        if (!m.find()) {
            throw new IOException("no " + name + " in " + json);
        }
        return m.group(1);
    }

    static String setting(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null ? otherwise : value;
    }
}
