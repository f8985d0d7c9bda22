import org.apache.http.client.config.RequestConfig;
import org.apache.http.client.methods.RequestBuilder;
import org.apache.http.entity.*;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.util.EntityUtils;

public class Apache4 {
  public static Object[] send(String base, String operation) throws Exception {
    var request = RequestBuilder.create(Client.method).setUri(base + Client.path);
    if (Client.slow) request.setEntity(new InputStreamEntity(new Client.Slow(), ContentType.parse(Client.type)));
    else if (Client.body != null) request.setEntity(new ByteArrayEntity(Client.body, ContentType.parse(Client.type)));
    request.setConfig(RequestConfig.custom().setExpectContinueEnabled(operation.equals("expect")).build());
    try (var client = HttpClients.createDefault(); var response = client.execute(request.build())) {
      return new Object[] {response.getStatusLine().getStatusCode(), EntityUtils.toByteArray(response.getEntity())};
    }
  }
}
