import org.apache.hc.client5.http.config.RequestConfig;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.core5.http.ContentType;
import org.apache.hc.core5.http.io.entity.*;
import org.apache.hc.core5.http.io.support.ClassicRequestBuilder;

public class Apache {
  public static Object[] send(String base, String operation) throws Exception {
    var request = ClassicRequestBuilder.create(Client.method).setUri(base + Client.path);
    if (Client.slow) request.setEntity(new InputStreamEntity(new Client.Slow(), ContentType.parse(Client.type)));
    else if (Client.body != null) request.setEntity(new ByteArrayEntity(Client.body, ContentType.parse(Client.type)));
    var config = RequestConfig.custom().setExpectContinueEnabled(operation.equals("expect")).build();
    try (var client = HttpClients.custom().setDefaultRequestConfig(config).build()) {
      return client.execute(request.build(), response -> new Object[] {response.getCode(), EntityUtils.toByteArray(response.getEntity())});
    }
  }
}
